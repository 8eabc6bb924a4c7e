import { Niivue, SHOW_RENDER, SLICE_TYPE } from '@niivue/niivue'

/** Where the crosshair is. */
export interface CrosshairPlace {
  /** RAS, millimetres. */
  mm: [number, number, number]
  /** Of the scan's file, from 0. */
  voxel: [number, number, number]
  value: number | undefined
  /** In the label maps, in their order: the place of the value in its list. */
  ranks: (number | undefined)[]
}

export type StageView = 'all' | 'axial' | 'coronal' | 'sagittal'

/** The canvas that NiiVue draws on. */
export interface VolumeStage {
  /** Takes the place of what was shown before. */
  show(image: ArrayBuffer, labels: readonly { nifti: ArrayBuffer; colours: readonly string[] }[]): Promise<void>
  /** How much each label map covers, 0 to 1. */
  setOpacities(opacities: readonly number[]): void
  setView(view: StageView): void
  /** Whether the patient's left is on the right. */
  setRadiological(on: boolean): void
  /** Steps in voxels of the scan: right, anterior, superior. */
  move(x: number, y: number, z: number): void
}

const VIEWS: Record<StageView, SLICE_TYPE> = {
  all: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
}

/** @throws Error where the browser has no WebGL2 */
export async function openVolumeStage(
  canvas: HTMLCanvasElement,
  onCrosshair: (place: CrosshairPlace) => void,
): Promise<VolumeStage> {
  if (document.createElement('canvas').getContext('webgl2') === null)
    throw new Error('this browser has no WebGL2, with which the volumes are drawn')
  const viewer = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.85, 0.35, 0.3, 0.8],
    crosshairWidth: 0.6,
    crosshairWidthUnit: 'mm',
    isCornerOrientationText: true,
    fontColor: [0.78, 0.82, 0.85, 1],
    show3Dcrosshair: true,
    multiplanarShowRender: SHOW_RENDER.NEVER,
    isNearestInterpolation: true,
    isSliceMM: true,
    dragAndDropEnabled: false,
    loadingText: '',
    logLevel: 'error',
    isColorbar: false,
    isOrientCube: false,
    // The page has keys of its own.
    clipPlaneHotKey: '',
    cycleClipPlaneHotKey: '',
    viewModeHotKey: '',
  })
  viewer.onLocationChange = (raw) => {
    const { mm, values } = raw as { mm: ArrayLike<number>; values: { vox: ArrayLike<number>; value: number }[] }
    const three = (list: ArrayLike<number> | undefined): [number, number, number] => [
      list?.[0] ?? 0,
      list?.[1] ?? 0,
      list?.[2] ?? 0,
    ]
    onCrosshair({
      mm: three(mm),
      voxel: three(values[0]?.vox),
      value: values[0]?.value,
      ranks: values.slice(1).map(({ value }) => value),
    })
  }
  await viewer.attachToCanvas(canvas)
  viewer.setSliceType(SLICE_TYPE.MULTIPLANAR)
  return {
    async show(image, labels) {
      for (const volume of [...viewer.volumes].reverse()) viewer.removeVolume(volume)
      // By name as by its bytes NiiVue tells what it is.
      await viewer.loadFromArrayBuffer(image, 'image.nii')
      for (const [i, { nifti, colours }] of labels.entries()) {
        await viewer.loadFromArrayBuffer(nifti, `label-${i}.nii`)
        viewer.volumes.at(-1)!.setColormapLabel(colourTable(colours))
      }
      viewer.updateGLVolume()
      viewer.createOnLocationChange()
    },
    setOpacities(opacities) {
      for (const [i, opacity] of opacities.entries()) if (viewer.volumes[i + 1]) viewer.setOpacity(i + 1, opacity)
    },
    setView: (view) => viewer.setSliceType(VIEWS[view]),
    setRadiological: (on) => viewer.setRadiologicalConvention(on),
    move: (x, y, z) => viewer.moveCrosshairInVox(x, y, z),
  }
}

/** @param colours of rank 1 and on; rank 0 is drawn by nothing */
function colourTable(colours: readonly string[]) {
  const channel = (at: number): number[] => [0, ...colours.map((hex) => Number.parseInt(hex.slice(at, at + 2), 16))]
  return {
    R: channel(1),
    G: channel(3),
    B: channel(5),
    A: [0, ...colours.map(() => 255)],
    I: [0, ...colours.map((_, i) => i + 1)],
  }
}
