import { expect, test } from 'bun:test'
import { workerRecipe } from '@conntext/realtime/worker'
import { recipeHash } from '../mediasoup-worker/recipe.ts'

test('the recipe is the one that apps/realtime looks for', () => {
  // When this fails: put the new hash into apps/realtime/src/worker/recipe.ts.
  expect(workerRecipe).toBe(recipeHash())
})
