/**
 * Names the build recipe in tools/mediasoup-worker: the start of the SHA-256 of its files. A worker in the cache
 * carries it in its path, so that a changed recipe means a new worker. A test there says when it is out of step.
 */
export const workerRecipe = 'cc3c1beac6d5'
