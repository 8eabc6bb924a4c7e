/** What is measured unless asked otherwise: every engine of the machine on each grid with each number of channels. */
export const DEFAULTS = {
  engines: ['cpu', 'wasm'],
  grids: [64, 96],
  channels: [5],
  threads: 2,
  repeats: 5,
  what: ['forward', 'step'],
}

/** Floating-point operations, a multiplication and an addition each, of a direct convolution; kernels may do fewer. */
export function flops(spec, voxels, what) {
  const { channels, classes, dilations } = spec
  const convolutions = 27 * channels * (1 + channels * (dilations.length - 1))
  return 2 * voxels * (convolutions + classes * channels) * (what === 'step' ? 3 : 1)
}
