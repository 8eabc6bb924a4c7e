import type { Finding } from '../manifest.js'
import type { Participants } from './participants.js'

/** An image and its label map, found on disk. */
export interface FoundCase {
  /** What the split keeps together: all cases of one subject go to one split and one site. */
  subject: string
  /** Absolute path. */
  image: string
  /** Absolute path. */
  label: string
  /** What else is known of the case: further columns of a table, `session`, `run`. */
  columns: Record<string, string>
  /** A BIDS `*_dseg.tsv` or nnU-Net's dataset.json (absolute path) that names the label's values. */
  names?: string
}

/** A finding of the search; at level `error` with how to mend it, which the manifest does not keep. */
export type FoundFinding = Finding & { hint?: string }

export interface FindOptions {
  /** What the layout calls the image: a file name (FreeSurfer), a suffix (BIDS), a folder, a column. */
  image?: string
  /** Likewise for the label. */
  label?: string
  /** Columns that the split goes by: where a layout keeps those of its subjects in a file of their own, it reads these. */
  columns?: readonly string[]
}

export type LayoutName = 'bids' | 'freesurfer' | 'nnunet' | 'folders' | 'table'

interface Found {
  cases: FoundCase[]
  findings: FoundFinding[]
  /** What a table tells of subjects, also of those whose folders cannot be looked into. */
  participants?: Participants
}

/** One way in which datasets lie on disk. */
export interface Layout {
  name: LayoutName
  /** What it looks for, as a message says it. */
  looksFor(options: FindOptions): string
  /** The cases; null where the source is not laid out this way at all. */
  find(source: string, options: FindOptions): Promise<Found | null>
}
