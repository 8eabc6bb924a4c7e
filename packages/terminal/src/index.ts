export { describeEvent, type Level, type Sentence } from './describe-event.js'
export { type ErrorOptions, formatError } from './format-error.js'
export { drawFrame, type Frame, type FrameOptions, frameLines, type Interaction } from './frame.js'
export type { LiveView, LiveViewOptions } from './live-options.js'
export {
  ASCII,
  chooseGlyphs,
  createPaint,
  type Glyphs,
  type Paint,
  type Tone,
  UNICODE,
  wantsColor,
  wantsLiveView,
} from './palette.js'
export { createPlainView, type PlainView, type PlainViewOptions } from './plain-view.js'
export { createProgressBar, type ProgressBar, type ProgressBarOptions } from './progress-bar.js'
export { cleanLines, cleanText, cutText, displayWidth, fitText } from './text.js'
export {
  initialView,
  type LogLine,
  type ProgressView,
  type RoundPoint,
  reduceView,
  type SiteView,
  type ViewState,
} from './view-state.js'
