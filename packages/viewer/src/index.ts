export type { LabelInfo, PageContent, RunFigures, RunState } from './page-data.js'
export { createRunFollower, type RunFollower } from './run-follower.js'
export type { Scene, SceneLabel, ViewerContent, ViewerDocument } from './viewer-content.js'
export { startViewer, type ViewerServer, type ViewerServerOptions } from './viewer-server.js'
