import { Device } from 'mediasoup-client'
import type { HandlerFactory, RtpCapabilities } from 'mediasoup-client/types'

/** What this browser can send and receive, by what the server can. Kept from call to call. */
export class OwnDevice {
  #device: Device | undefined
  #loadedWith = ''

  constructor(private readonly handlerFactory?: HandlerFactory) {}

  /** What can be received; undefined until a server has told what it has. */
  get capabilities(): RtpCapabilities | undefined {
    return this.#device?.recvRtpCapabilities
  }

  get device(): Device {
    if (!this.#device) throw new Error('there is no device before the first call')
    return this.#device
  }

  /** Answers what can be received of what the server has. @throws UnsupportedError where there is no WebRTC */
  async load(routerRtpCapabilities: RtpCapabilities): Promise<RtpCapabilities> {
    const text = JSON.stringify(routerRtpCapabilities)
    if (this.#device && text === this.#loadedWith) return this.#device.recvRtpCapabilities
    const device = await Device.factory(this.handlerFactory ? { handlerFactory: this.handlerFactory } : {})
    await device.load({ routerRtpCapabilities })
    this.#device = device
    this.#loadedWith = text
    return device.recvRtpCapabilities
  }
}
