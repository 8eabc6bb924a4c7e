/** A TCP port somewhere. */
export interface Target {
  host: string
  port: number
}
