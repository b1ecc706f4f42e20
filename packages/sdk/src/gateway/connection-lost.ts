/** The connection went before there was an answer: whether the server has done what it was asked is not known. */
export class ConnectionLost extends Error {
  override name = 'ConnectionLost'

  constructor() {
    super('there is no connection to the gateway')
  }
}
