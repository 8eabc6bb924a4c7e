import { classPlaces } from '../class-places.js'
import { crosshairRank, isInside } from '../crosshair-rank.js'
import type { ImageInfo, PageContent, PageScene } from '../page-data.js'
import { voxelAt } from '../voxel-at.js'
import { type ClassLegend, classLegend, className } from './class-legend.js'
import { element } from './element.js'
import { loadScene, type ShownMap } from './load-scene.js'
import { keyHelp, MOVES } from './scene-keys.js'
import type { CrosshairPlace, StageView, VolumeStage } from './volume-stage.js'

/** A scan, the label maps over it, and what is known of them. */
export interface SceneView {
  readonly root: HTMLElement
  /** Shows the scene of this place in the list. */
  open(index: number): Promise<void>
  /** @returns whether the key was one of ours */
  onKey(key: string): boolean
}

const VIEWS: readonly (readonly [view: StageView, text: string])[] = [
  ['all', 'all'],
  ['axial', 'axial'],
  ['coronal', 'coronal'],
  ['sagittal', 'sagittal'],
]

/** How long a case is looked for before it is read. */
const LEAFING_MS = 150

/** @param onStep called by the keys for the next and previous case */
export function sceneView(content: PageContent, onStep: (by: 1 | -1) => void): SceneView {
  const canvas = element('canvas', { tabindex: 0, 'aria-label': 'Slices of the scan. The keys are listed beside it.' })
  const state = element('p', { class: 'state', role: 'status' })
  const title = element('h2')
  const facts = element('dl', { class: 'facts' })
  const place = element('dl', { class: 'facts' })
  const labelChoices = element('div', { class: 'choices', role: 'group', 'aria-label': 'Label map' })
  const legendPlace = element('div')
  const opacity = element('input', { type: 'range', min: 0, max: 100, value: 50, id: 'opacity' })
  const labelSection = element(
    'section',
    { 'aria-label': 'Labels', hidden: true },
    labelChoices,
    element('label', { for: 'opacity' }, 'Opacity'),
    opacity,
    legendPlace,
  )
  const sides = element('button', { type: 'button', 'aria-pressed': 'false' }, 'patient’s left on the right')
  const views = VIEWS.map(([view, text]) => {
    const button = element('button', { type: 'button', 'aria-pressed': String(view === 'all') }, text)
    button.addEventListener('click', () => setView(view))
    return { view, button }
  })
  const side = element(
    'aside',
    { class: 'side', 'aria-label': 'Scan and labels' },
    element('section', {}, title, facts),
    element(
      'section',
      { 'aria-label': 'View' },
      element('div', { class: 'choices', role: 'group', 'aria-label': 'Planes' }, ...views.map(({ button }) => button)),
      element('div', { class: 'choices' }, sides),
      place,
    ),
    labelSection,
    element('section', {}, keyHelp()),
  )
  const stagePlace = element('div', { class: 'stage' }, canvas, state)
  const root = element('div', { class: 'workspace' }, stagePlace, side)

  let stage: Promise<VolumeStage> | undefined
  let opening: AbortController | undefined
  let scene: PageScene | undefined
  let image: ImageInfo | undefined
  let maps: ShownMap[] = []
  let places = new Map<number, number>()
  let legends: ClassLegend[] = []
  let shown = 0
  let isOn = true
  let isRadiological = false
  let last: CrosshairPlace | undefined

  opacity.addEventListener('input', () => {
    isOn = true
    void applyOpacity()
  })
  sides.addEventListener('click', () => setRadiological(sides.getAttribute('aria-pressed') !== 'true'))

  return { root, open, onKey }

  async function open(index: number): Promise<void> {
    const isFirst = opening === undefined
    opening?.abort()
    opening = new AbortController()
    const { signal } = opening
    const next = content.scenes[index]!
    say(`loading ${next.title} …`)
    try {
      // Whoever leafs through the cases does not wait for those in between, and nobody need read them.
      if (!isFirst) await new Promise((resolve) => setTimeout(resolve, LEAFING_MS))
      if (signal.aborted) return
      stage ??= import('./volume-stage.js').then(({ openVolumeStage }) => openVolumeStage(canvas, onCrosshair))
      const [loaded, drawn] = await Promise.all([loadScene(next, `scenes/${index}`, signal), stage])
      if (signal.aborted) return
      scene = next
      image = loaded.image
      maps = loaded.maps
      shown = Math.min(shown, Math.max(0, maps.length - 1))
      places = classPlaces(
        maps.map(({ info, classNames }) => ({
          values: info.values.map(({ value }) => value),
          named: Object.keys(classNames).map(Number),
        })),
        content.classColours.length,
      )
      describe(image)
      await drawn.show(
        loaded.nifti,
        maps.map(({ nifti, info }) => ({ nifti, colours: info.values.slice(1).map(({ value }) => colourOf(value)) })),
      )
      if (signal.aborted) return
      await applyOpacity()
      say(loaded.faults.join('; '), loaded.faults.length > 0)
    } catch (error) {
      if (signal.aborted) return
      say(`${next.title} cannot be shown: ${(error as Error).message}`, true)
      await forget(next.title)
    }
  }

  /** What was shown before is not to be taken for the scan that cannot be. */
  async function forget(name: string): Promise<void> {
    title.textContent = name
    last = undefined
    maps = []
    facts.replaceChildren()
    place.replaceChildren()
    labelSection.hidden = true
    // Where there is no stage, that was the error.
    await stage?.then((drawn) => drawn.clear()).catch(() => undefined)
    place.replaceChildren()
  }

  function zeroedFacts(info: ImageInfo): Record<string, string> {
    const all: [string, number][] = [[scene!.title, info.zeroed]]
    for (const { title: name, info: own } of maps) all.push([name, own.zeroed])
    const told = all.filter(([, zeroed]) => zeroed > 0)
    if (told.length === 0) return {}
    const text = told.map(([name, zeroed]) => `${name}: ${zeroed} voxels NaN or infinite, shown as 0`)
    return { 'not finite': text.join('; ') }
  }

  function say(text: string, isBad = false): void {
    state.textContent = text
    state.className = isBad ? 'state bad' : 'state'
  }

  function describe(info: ImageInfo): void {
    title.textContent = scene!.title
    const size = info.voxelSizeMm.map((edge) => Number(edge.toFixed(3)))
    facts.replaceChildren(
      ...factsOf({
        ...scene!.facts,
        voxels: `${info.shape.join(' × ')}, ${info.orientation}, ${info.storedType}`,
        'voxel size': `${size.join(' × ')} mm`,
        ...zeroedFacts(info),
        ...(scene!.notes.length > 0 ? { findings: scene!.notes.join('; ') } : {}),
      }),
    )
    labelSection.hidden = maps.length === 0
    legends = maps.map(({ info, classNames }) => classLegend(info, classNames, colourOf))
    labelChoices.replaceChildren(
      ...maps.map(({ title: name, place: letters }, k) => {
        const letter = scene!.labels.length > 1 ? `${'ABCDEFGH'[letters] ?? letters + 1}: ` : ''
        const button = element('button', { type: 'button', 'aria-pressed': String(k === shown) }, `${letter}${name}`)
        button.addEventListener('click', () => choose(k))
        return button
      }),
    )
    const legend = legends[shown]
    legendPlace.replaceChildren(...(legend ? [legend.root] : []))
  }

  function colourOf(value: number): string {
    const all = content.classColours
    return all[places.get(value)! % all.length]!
  }

  function choose(k: number): void {
    shown = k
    isOn = true
    for (const [i, button] of [...labelChoices.children].entries()) button.setAttribute('aria-pressed', String(i === k))
    legendPlace.replaceChildren(...(legends[k] ? [legends[k].root] : []))
    if (last) onCrosshair(last)
    void applyOpacity()
  }

  async function applyOpacity(): Promise<void> {
    const part = isOn ? Number(opacity.value) / 100 : 0
    await onStage((drawn) => drawn.setOpacities(maps.map((_, k) => (k === shown ? part : 0))))
  }

  /** Where there is no stage, opening the scene has said so. */
  async function onStage(work: (drawn: VolumeStage) => void): Promise<void> {
    const drawn = await stage?.catch(() => undefined)
    if (drawn) work(drawn)
  }

  function setView(view: StageView): void {
    for (const one of views) one.button.setAttribute('aria-pressed', String(one.view === view))
    void onStage((drawn) => drawn.setView(view))
  }

  function setRadiological(on: boolean): void {
    isRadiological = on
    sides.setAttribute('aria-pressed', String(on))
    void onStage((drawn) => drawn.setRadiological(on))
  }

  function onCrosshair(at: CrosshairPlace): void {
    last = at
    const map = maps[shown]
    const rank = map && crosshairRank(map.info, at.mm, at.ranks[shown])
    const value = rank === undefined ? undefined : map?.info.values[rank]?.value
    for (const legend of legends) legend.mark(rank)
    const isInScan = image !== undefined && isInside(image, at.mm)
    place.replaceChildren(
      ...factsOf({
        mm: at.mm.map((part) => part.toFixed(1)).join(', '),
        ...(image ? { voxel: voxelAt(image.mmToVoxel, at.mm).join(', ') } : {}),
        value: at.value === undefined || !isInScan ? '–' : String(Number(at.value.toPrecision(6))),
        ...(map === undefined
          ? {}
          : {
              label: value === undefined ? '–' : [value, className(value, map.classNames)].filter(isNews).join(' '),
            }),
      }),
    )
  }

  /** Left and right are those of the screen. */
  function step([x, y, z]: readonly [number, number, number]): void {
    void onStage((drawn) => drawn.move(isRadiological ? -x : x, y, z))
  }

  function onKey(key: string): boolean {
    const move = MOVES[key]
    if (move) step(move)
    else if (key === 'o') {
      isOn = !isOn
      void applyOpacity()
    } else if (key === 'b') {
      if (maps.length > 1) choose((shown + 1) % maps.length)
    } else if (key === '[' || key === ']') {
      opacity.value = String(Number(opacity.value) + (key === ']' ? 10 : -10))
      isOn = true
      void applyOpacity()
    } else if (key === 'r') setRadiological(sides.getAttribute('aria-pressed') !== 'true')
    else if (key === 'n' || key === 'p') onStep(key === 'n' ? 1 : -1)
    else if (/^[1-4]$/.test(key)) setView(VIEWS[Number(key) - 1]![0])
    else return false
    return true
  }
}

/** A value without a name is its own name. */
function isNews(one: number | string, i: number, all: (number | string)[]): boolean {
  return i === 0 || String(all[0]) !== one
}

function factsOf(facts: Readonly<Record<string, string>>): HTMLElement[] {
  return Object.entries(facts).flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])
}
