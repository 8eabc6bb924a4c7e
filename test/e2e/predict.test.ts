import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { decodeSafetensors, type EventOf, encodeSafetensors, type MeshflEvent } from '@meshfl/core'
import { encodeNifti, readVolume, reorient, unplacedAffine, voxelSize } from '@meshfl/volume'
import { beforeAll, expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { trainRun } from './trained-run.js'

let source: string
let run: string

/** Image and label of every row of volumes.csv. */
const rowsOf = (out: string): string[][] => {
  const [, ...rows] = readFileSync(join(out, 'volumes.csv'), 'utf8').trim().split('\n')
  return rows.map((row) => row.split(',').slice(0, 2))
}

/** But for the end of the scan, at which a model of one round sees brain, too. */
const logged = (events: readonly MeshflEvent[]): EventOf<'log'>[] =>
  events.flatMap((event) => (event.type === 'log' && !event.message.includes('end of the scan') ? [event] : []))

beforeAll(async () => {
  ;({ source, run } = await trainRun())
})

test('every class has a file of its probabilities, whatever the letters of its name', async () => {
  const folder = temporaryFolder('letters')
  const { tensors, metadata } = decodeSafetensors(readFileSync(join(run, 'best.safetensors')), 'best')
  const [scan] = readdirSync(join(source, 'images')).map((name) => join(source, 'images', name))
  const filesOf = async (name: string, classNames: string[]): Promise<string[]> => {
    const data = JSON.stringify({ ...JSON.parse(metadata['meshfl.data']!), classNames })
    const file = join(folder, `${name}.safetensors`)
    writeFileSync(file, encodeSafetensors({ tensors, metadata: { ...metadata, 'meshfl.data': data } }))
    const out = join(folder, name)
    expect((await cli(['predict', file, scan!, '--out', out, '--probabilities'])).code).toBe(0)
    const found = readdirSync(out).flatMap((entry) => /_probability-(.*)\.nii\.gz$/.exec(entry)?.[1] ?? [])
    return found.map((each) => each.normalize()).sort()
  }
  expect(await filesOf('greek', ['φόντο', 'λευκή ουσία', 'φαιά ουσία'])).toEqual(['λευκή-ουσία', 'φαιά-ουσία', 'φόντο'])
  expect(await filesOf('signs', ['none', 'GM+', 'GM-'])).toEqual(['GM--1', 'GM--2', 'none'])
})

test('a model file alone is enough to segment', async () => {
  const out = join(temporaryFolder('model'), 'labels')
  const scan = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const grid = ['--shape', '16', '--voxel-size', '12']
  const { code, last } = await cli(['predict', join(run, 'best.safetensors'), scan, '--out', out, ...grid, '--json'])
  expect(code).toBe(0)
  expect(last).toMatchObject({ type: 'prediction' })
})

test('a grid that ends before what was segmented does is warned of, face by face', async () => {
  const folder = temporaryFolder('cut')
  const { tensors, metadata } = decodeSafetensors(readFileSync(join(run, 'best.safetensors')), 'best')
  // The bias of the head: to this model all is white matter.
  const everywhere = tensors.map((tensor) =>
    tensor.shape.length === 1 && tensor.shape[0] === 3
      ? { ...tensor, data: new Uint8Array(new Float32Array([0, 1e6, 0]).buffer) }
      : tensor,
  )
  const model = join(folder, 'everywhere.safetensors')
  writeFileSync(model, encodeSafetensors({ tensors: everywhere, metadata }))
  const scan = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const warningsOn = async (shape: string): Promise<string[]> => {
    const args = [
      'predict',
      model,
      scan,
      '--out',
      join(folder, shape),
      '--shape',
      shape,
      '--voxel-size',
      '12',
      '--json',
    ]
    const { code, events } = await cli(args)
    expect(code).toBe(0)
    return events.flatMap((event) => (event.type === 'log' && event.level === 'warn' ? [event.message] : []))
  }
  // To this model the head goes on behind every face of the scan, too.
  const atTheEnd = expect.stringMatching(/reaches the end of the scan.*: (\w+ \(\d+ voxels\)(, )?){6}$/)
  expect(await warningsOn('32')).toEqual([atTheEnd])
  const [warning, ...others] = await warningsOn('8')
  expect(others).toEqual([])
  expect(warning).toContain('the grid of 8 x 8 x 8 voxels ends before what was segmented does')
  for (const face of ['left', 'right', 'posterior', 'anterior', 'inferior', 'superior'])
    expect(warning).toContain(`${face} (64 voxels)`)
})

test('scans of one name in several folders are told apart by their folders', async () => {
  const scans = temporaryFolder('subjects')
  const names = readdirSync(join(source, 'images')).slice(0, 2)
  const images = names.map((_, i) => join(scans, `s${i}`, 'mri', 'T1.nii.gz'))
  for (const [i, image] of images.entries()) cpSync(join(source, 'images', names[i]!), image)
  const out = join(temporaryFolder('alike'), 'labels')
  expect((await cli(['predict', run, ...images, '--out', out])).code).toBe(0)
  expect(readdirSync(out).sort()).toEqual(['s0_mri_T1_dseg.nii.gz', 's1_mri_T1_dseg.nii.gz', 'volumes.csv'])
  expect(rowsOf(out)).toEqual(images.map((image, i) => [image, `s${i}_mri_T1_dseg.nii.gz`]))
  const twice = await cli(['predict', run, images[0]!, images[0]!, '--out', out, '--json'])
  expect(twice).toMatchObject({ code: 2, last: { type: 'error', code: 'PREDICT_NAME_TWICE' } })
})

test('scans that are segmented one after the other, or at the same time, keep their label maps and volumes', async () => {
  const scans = temporaryFolder('subjects')
  const out = join(temporaryFolder('cohort'), 'labels')
  const names = readdirSync(join(source, 'images')).slice(0, 4)
  const images = names.map((name, i) => join(scans, `s${i}`, i < 2 ? 'T1.nii.gz' : name))
  for (const [i, image] of images.entries()) cpSync(join(source, 'images', names[i]!), image)
  const predict = (image: string) => cli(['predict', run, image, '--out', out, '--threads', '1', '--json'])

  expect((await predict(images[0]!)).code).toBe(0)
  const label = readFileSync(join(out, 'T1_dseg.nii.gz'))
  const other = await predict(images[1]!)
  expect(other).toMatchObject({ code: 2, last: { type: 'error', code: 'PREDICT_NAME_TWICE' } })
  expect((other.last as EventOf<'error'>).message).toContain(images[0])
  expect(readFileSync(join(out, 'T1_dseg.nii.gz'))).toEqual(label)

  const together = await Promise.all([images[0]!, images[2]!, images[3]!].map(predict))
  expect(together.map(({ code }) => code)).toEqual([0, 0, 0])
  expect(rowsOf(out).sort()).toEqual(
    [images[0]!, images[2]!, images[3]!].map((image) => [image, basename(image).replace('.nii.gz', '_dseg.nii.gz')]),
  )
  expect(readdirSync(out).sort()).toEqual([...rowsOf(out).map(([, name]) => name), 'volumes.csv'].sort())

  writeFileSync(join(out, 'volumes.csv'), 'image,label,hippocampus (mL)\n')
  const classes = await predict(images[0]!)
  expect(classes).toMatchObject({ code: 2, last: { type: 'error', code: 'PREDICT_OTHER_CLASSES' } })
})

test('a scan that is missing is told before the others are segmented', async () => {
  const scan = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const out = join(temporaryFolder('missing'), 'labels')
  const { code, last } = await cli(['predict', run, scan, join(out, 'none.nii.gz'), '--out', out, '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'error', code: 'FILE_NOT_FOUND' })
  expect(existsSync(out)).toBe(false)
  expect((await cli(['predict', run, scan, '--out', out, '--conform', 'freesurfr'])).code).toBe(2)
})

test('a scan that does not say how it lies is warned of, and its label map says no more than it does', async () => {
  const folder = temporaryFolder('unplaced')
  const image = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const scan = join(folder, 'scan.nii.gz')
  const volume = await readVolume(image, { kind: 'image' })
  const affine = unplacedAffine(volume.shape, voxelSize(volume.affine))
  writeFileSync(scan, await encodeNifti({ ...volume, affine, isUnplaced: true }, { gzip: true }))
  const out = join(folder, 'labels')
  const { code, events } = await cli(['predict', run, scan, '--out', out, '--probabilities', '--json'])
  expect(code).toBe(0)
  const message = expect.stringContaining('its header does not say how it lies in the head')
  expect(events).toContainEqual(expect.objectContaining({ type: 'log', level: 'warn', message }))
  const files = readdirSync(out).filter((name) => name.endsWith('.nii.gz'))
  expect(files).toHaveLength(4)
  for (const name of files) {
    const native = await readVolume(join(out, name), { kind: 'image' })
    expect(native).toMatchObject({ shape: volume.shape, isUnplaced: true })
    expect(native.affine).toEqual((await readVolume(scan, { kind: 'image' })).affine)
  }
})

test('probabilities of all classes are 1 together, also where the grid does not reach, and that is background', async () => {
  const folder = temporaryFolder('together')
  const image = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const args = ['predict', run, image, '--out', folder, '--probabilities', '--shape', '8', '--voxel-size', '12']
  expect((await cli(args)).code).toBe(0)
  const read = async (ending: string) => {
    const name = readdirSync(folder).find((entry) => entry.endsWith(ending))!
    return (await readVolume(join(folder, name), { kind: 'image' })).voxels
  }
  const [background, white, grey] = await Promise.all(
    ['background', 'white-matter', 'grey-matter'].map((name) => read(`_probability-${name}.nii.gz`)),
  )
  for (let i = 0; i < background!.length; i++) {
    const sum = background![i]! + white![i]! + grey![i]!
    if (!(Math.abs(sum - 1) < 1e-5)) expect(sum).toBe(1)
  }
  expect(background![0]).toBe(1)
})

test('a scan that becomes one value by a voxel far too bright is told and left out', async () => {
  const folder = temporaryFolder('bright')
  const image = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const volume = await readVolume(image, { kind: 'image' })
  const voxels = Float32Array.from(volume.voxels, (value) => value / 100)
  voxels[0] = 1e9
  const scan = join(folder, 'scan.nii.gz')
  writeFileSync(scan, await encodeNifti({ ...volume, voxels }, { gzip: true }))
  const { code, last } = await cli(['predict', run, scan, '--out', join(folder, 'labels'), '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'error', code: 'IMAGE_CONSTANT' })
})

test('a damaged scan is told and left out, the others are segmented, and the exit code is 3', async () => {
  const scans = temporaryFolder('damaged')
  const [first, second, third] = readdirSync(join(source, 'images')).sort() as [string, string, string]
  const images = [first, second, third].map((name) => join(scans, name))
  for (const image of images) cpSync(join(source, 'images', basename(image)), image)
  writeFileSync(images[1]!, readFileSync(images[1]!).subarray(0, 200))
  const out = join(temporaryFolder('others'), 'labels')
  const { code, events, last } = await cli(['predict', run, ...images, '--out', out, '--json'])
  expect(code).toBe(3)
  expect(rowsOf(out).map(([image]) => image)).toEqual([images[0], images[2]])
  expect(events.filter(({ type }) => type === 'prediction')).toHaveLength(2)
  const told = expect.stringMatching(/^left out: .*sub-02\.nii\.gz: .* \[VOLUME_\w+\]$/)
  expect(events).toContainEqual(expect.objectContaining({ type: 'log', level: 'error', message: told }))
  expect(last).toMatchObject({
    type: 'error',
    code: 'PREDICT_LEFT_OUT',
    message: `1 of 3 scans left out: ${images[1]}`,
  })

  const shown = await cli(['predict', run, ...images, '--out', `${out}-shown`])
  expect(shown).toMatchObject({ code: 3, stdout: expect.stringContaining('left out: ') })
  expect(shown.stderr).toContain(`1 of 3 scans left out: ${images[1]}`)
  const alone = await cli(['predict', run, images[1]!, '--out', `${out}-alone`, '--json'])
  expect(alone).toMatchObject({ code: 3, last: { type: 'error', code: expect.stringMatching(/^VOLUME_/) } })
})

test('a folder among the scans is told before any is segmented', async () => {
  const [scan] = readdirSync(join(source, 'images')).map((name) => join(source, 'images', name))
  const out = join(temporaryFolder('folder'), 'labels')
  const { code, events } = await cli(['predict', run, scan!, join(source, 'images'), '--out', out, '--json'])
  expect(code).toBe(3)
  expect(events).toMatchObject([{ type: 'error', code: 'FILE_NOT_READABLE' }])
  expect(existsSync(out)).toBe(false)
})

test('a name that has room for that of the label map is taken; one that has none is told before any is segmented', async () => {
  const folder = temporaryFolder('long-names')
  const [scan] = readdirSync(join(source, 'images')).map((name) => join(source, 'images', name))
  // 255 bytes less those of _dseg.nii.gz
  const longest = join(folder, `${'n'.repeat(243)}.nii.gz`)
  const tooLong = join(folder, `${'n'.repeat(244)}.nii.gz`)
  for (const image of [longest, tooLong]) cpSync(scan!, image)
  const predict = (...words: string[]) => cli(['predict', run, ...words, '--out', join(folder, 'labels'), '--json'])
  const refused = { code: 2, events: [{ type: 'error', code: 'PATH_NOT_WRITABLE' }] }
  expect(await predict(scan!, tooLong)).toMatchObject(refused)
  expect(await predict(longest, '--probabilities')).toMatchObject(refused)
  expect(existsSync(join(folder, 'labels'))).toBe(false)
  expect((await predict(longest)).code).toBe(0)
})

test('an output folder that cannot be written stops the command at the first scan', async () => {
  const images = readdirSync(join(source, 'images')).slice(0, 2)
  const file = join(temporaryFolder('no-folder'), 'labels')
  writeFileSync(file, 'a file')
  const scans = images.map((name) => join(source, 'images', name))
  const { code, events, last } = await cli(['predict', run, ...scans, '--out', join(file, 'below'), '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'error', code: 'PATH_NOT_WRITABLE' })
  expect(events.filter(({ type }) => type === 'progress')).toEqual([])
})

test('a model of scans as they lie segments a scan alike whichever way it lies, and warns of another voxel size', async () => {
  const folder = temporaryFolder('as-they-lie')
  const [dataset, model, out] = ['dataset', 'run', 'labels'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  expect(
    (await cli(['split', source, '--out', dataset, '--conform', 'none', '--ratios', '1,0,0', '--sites', '1'])).code,
  ).toBe(0)
  expect((await cli(['train', dataset, '--out', model, '--rounds', '1'])).code).toBe(0)
  const image = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const scan = await readVolume(image, { kind: 'image' })
  const { affine } = scan
  const larger = affine.map((value, i) => (i % 4 === 3 ? value : 2 * value))
  const images = ['PIR', 'larger'].map((name) => join(folder, `${name}.nii.gz`)) as [string, string]
  writeFileSync(images[0], await encodeNifti(reorient(scan, 'PIR'), { gzip: true }))
  writeFileSync(images[1], await encodeNifti({ ...scan, affine: larger }, { gzip: true }))
  const { code, events } = await cli(['predict', model, image, ...images, '--out', out, '--json'])
  expect(code).toBe(0)
  const predictions = events.filter((event) => event.type === 'prediction')
  expect(predictions[1]!.volumesMl).toEqual(predictions[0]!.volumesMl)
  const [native, turned] = await Promise.all(
    predictions.slice(0, 2).map(({ label }) => readVolume(label, { kind: 'label' })),
  )
  expect(turned!.voxels).toEqual(reorient(native!, 'PIR').voxels)
  const warnings = logged(events)
  expect(warnings).toMatchObject([
    { message: expect.stringMatching(/larger\.nii\.gz: its voxels are 24 x 24 x 24 mm/) },
  ])

  // The model file of a federation tells it as well, and so does the one that a site is given at the end.
  const federated = join(folder, 'federated')
  const simulate = ['simulate', dataset, '--out', federated, '--rounds', '1', '--no-in-process']
  expect((await cli(simulate)).code).toBe(0)
  for (const file of ['latest.safetensors', 'sites/site-1/model.safetensors']) {
    const again = await cli(['predict', join(federated, file), image, images[0], '--out', `${out}-federated`, '--json'])
    const [lying, turnedToo] = again.events.filter((event) => event.type === 'prediction')
    expect(turnedToo!.volumesMl).toEqual(lying!.volumesMl)
    expect(logged(again.events)).toEqual([])
  }
})
