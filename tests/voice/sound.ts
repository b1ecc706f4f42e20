// Runs in a page: tones to send, and an ear that tells which one it hears.

const context = new AudioContext()
const FFT_SIZE = 4_096
/** Quieter than that is silence, in dBFS of one bin. */
const SILENCE_DB = -60
/** Tones are multiples of it. */
const STEP_HZ = 100
/** Below it is hum. */
const LOWEST_HZ = 150

export async function tone(hertz: number): Promise<{ track: MediaStreamTrack; stop(): void }> {
  await context.resume()
  const oscillator = new OscillatorNode(context, { frequency: hertz })
  const volume = new GainNode(context, { gain: 0.4 })
  const out = context.createMediaStreamDestination()
  oscillator.connect(volume).connect(out)
  oscillator.start()
  const [track] = out.stream.getAudioTracks()
  return {
    track: track!,
    stop() {
      oscillator.stop()
      track!.stop()
    },
  }
}

export type Ear = { /** In Hertz, to the next hundred; 0 for silence. */ loudest(): number; stop(): void }

export function listen(stream: MediaStream): Ear {
  void context.resume()
  // What comes from others is decoded only where an element plays it.
  const element = Object.assign(new Audio(), { muted: true })
  element.srcObject = stream
  void element.play().catch(() => {})
  const source = context.createMediaStreamSource(stream)
  const analyser = new AnalyserNode(context, { fftSize: FFT_SIZE, smoothingTimeConstant: 0 })
  source.connect(analyser)
  const levels = new Float32Array(analyser.frequencyBinCount)
  const binHz = context.sampleRate / FFT_SIZE
  return {
    loudest() {
      analyser.getFloatFrequencyData(levels)
      let best = Math.ceil(LOWEST_HZ / binHz)
      for (let bin = best; bin < levels.length; bin += 1) if (levels[bin]! > levels[best]!) best = bin
      return levels[best]! > SILENCE_DB ? Math.round((best * binHz) / STEP_HZ) * STEP_HZ : 0
    },
    stop() {
      source.disconnect()
      element.srcObject = null
    },
  }
}
