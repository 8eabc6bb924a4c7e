import { MeshflError } from '@meshfl/core'
import { printable, shortened } from '../printable.js'

/** What a pickle may hold here. Tuples are lists. What the host makes is opaque. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | PickleMap
  | PickleGlobal
  | object
export type PickleMap = Map<string | number, PickleValue>

/** A class or function that a pickle names. It is never looked up: the host decides by its name what it stands for. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** What stands behind the names of a pickle. */
export interface PickleHost {
  /** Whether a name may be used at all. */
  allows(global: string): boolean
  /** What a call makes of its arguments; undefined refuses them. */
  call(global: string, args: readonly PickleValue[]): PickleValue | undefined
  /** What a persistent id stands for; undefined refuses it. */
  persistent(id: PickleValue): PickleValue | undefined
}

/** More than a state dict of thousands of tensors needs; an operation makes one object at most. */
const MOST_OPERATIONS = 500_000
const MARK = Symbol('mark')

/**
 * Reads a pickle of protocol 2 to 5 without running any of it: values, containers, and the calls that the host allows. Memory is bounded
 * by the length of the bytes and the number of operations.
 * Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py.
 * @param source what to call the file in an error
 * @returns the value, and where the pickle ends
 * @throws MeshflError `TORCH_MALFORMED`, `TORCH_GLOBAL_REFUSED`
 */
export function readPickle(bytes: Uint8Array, host: PickleHost, source: string): { value: PickleValue; end: number } {
  const malformed = (what: string): MeshflError =>
    new MeshflError('TORCH_MALFORMED', `${source} cannot be read: ${what}`, {
      hint: 'check that the file was copied whole, and save the state dict alone: torch.save(model.state_dict(), path)',
    })
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const stack: (PickleValue | typeof MARK)[] = []
  const memo = new Map<number, PickleValue>()
  let at = 0
  const take = (count: number): number => {
    if (count > bytes.byteLength - at) throw malformed('its pickle ends too early')
    at += count
    return at - count
  }
  const text = (length: number): string => {
    const begin = take(length)
    return Buffer.from(bytes.buffer, bytes.byteOffset + begin, length).toString('utf8')
  }
  const line = (): string => {
    const end = bytes.indexOf(10, at)
    if (end < 0) throw malformed('its pickle ends too early')
    const found = text(end - at)
    at = end + 1
    return found
  }
  const top = (): PickleValue => {
    const value = stack.at(-1)
    if (value === undefined || value === MARK) throw malformed('its pickle takes a value where there is none')
    return value
  }
  const pop = (): PickleValue => {
    const value = top()
    stack.length--
    return value
  }
  const popToMark = (): PickleValue[] => {
    const mark = stack.lastIndexOf(MARK)
    if (mark < 0) throw malformed('its pickle has a list without a beginning')
    const items = stack.splice(mark + 1) as PickleValue[]
    stack.length = mark
    return items
  }
  const popLast = (count: number): PickleValue[] => {
    const items = Array.from({ length: count }, pop)
    return items.reverse()
  }
  const setItems = (items: readonly PickleValue[]): void => {
    const map = top()
    if (!(map instanceof Map) || items.length % 2 !== 0) throw malformed('its pickle has entries of no dictionary')
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!
      if (typeof key !== 'string' && typeof key !== 'number')
        throw malformed('a key of a dictionary is neither text nor a number')
      map.set(key, items[i + 1]!)
    }
  }
  const append = (items: readonly PickleValue[]): void => {
    const list = top()
    if (!Array.isArray(list)) throw malformed('its pickle has items of no list')
    for (const item of items) list.push(item)
  }
  const pushGlobal = (name: string): void => {
    if (!host.allows(name)) {
      throw new MeshflError('TORCH_GLOBAL_REFUSED', `${source} names ${printable(name)}, which no state dict needs`, {
        hint: 'save the state dict alone, of tensors: torch.save(model.state_dict(), path)',
        data: { global: shortened(name) },
      })
    }
    stack.push(new PickleGlobal(name))
  }
  const recall = (index: number): void => {
    const value = memo.get(index)
    if (value === undefined) throw malformed('its pickle recalls what it has not kept')
    stack.push(value)
  }
  for (let operations = 0; operations < MOST_OPERATIONS; operations++) {
    const operation = bytes[take(1)]!
    switch (operation) {
      case 0x80: // PROTO
        if (bytes[take(1)]! > 5) throw malformed('its pickle is of a later protocol than 5')
        break
      case 0x95: // FRAME
        take(8)
        break
      case 0x2e: // STOP
        return { value: pop(), end: at }
      case 0x28: // MARK
        stack.push(MARK)
        break
      case 0x30: // POP
        if (stack.length === 0) throw malformed('its pickle takes a value where there is none')
        stack.length--
        break
      case 0x31: // POP_MARK
        popToMark()
        break
      case 0x32: // DUP
        stack.push(top())
        break
      case 0x4e: // NONE
        stack.push(null)
        break
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(operation === 0x88)
        break
      case 0x4a: // BININT
        stack.push(view.getInt32(take(4), true))
        break
      case 0x4b: // BININT1
        stack.push(bytes[take(1)]!)
        break
      case 0x4d: // BININT2
        stack.push(view.getUint16(take(2), true))
        break
      case 0x8a: {
        // LONG1
        const length = bytes[take(1)]!
        const begin = take(length)
        stack.push(longOf(bytes.subarray(begin, at)))
        break
      }
      case 0x47: // BINFLOAT
        stack.push(view.getFloat64(take(8), false))
        break
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING
        stack.push(text(view.getUint32(take(4), true)))
        break
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING
        stack.push(text(bytes[take(1)]!))
        break
      case 0x42: // BINBYTES
      case 0x43: {
        // SHORT_BINBYTES
        const length = operation === 0x43 ? bytes[take(1)]! : view.getUint32(take(4), true)
        const begin = take(length)
        stack.push(bytes.subarray(begin, at))
        break
      }
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        stack.push([])
        break
      case 0x6c: // LIST
      case 0x74: // TUPLE
        stack.push(popToMark())
        break
      case 0x61: // APPEND
        append([pop()])
        break
      case 0x65: // APPENDS
        append(popToMark())
        break
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(popLast(operation - 0x84))
        break
      case 0x7d: // EMPTY_DICT
        stack.push(new Map())
        break
      case 0x64: {
        // DICT
        const items = popToMark()
        stack.push(new Map())
        setItems(items)
        break
      }
      case 0x73: // SETITEM
        setItems(popLast(2))
        break
      case 0x75: // SETITEMS
        setItems(popToMark())
        break
      case 0x63: {
        // GLOBAL
        const module = line()
        pushGlobal(`${module}.${line()}`)
        break
      }
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = popLast(2)
        if (typeof module !== 'string' || typeof name !== 'string') throw malformed('its pickle names no class')
        pushGlobal(`${module}.${name}`)
        break
      }
      case 0x71: // BINPUT
        memo.set(bytes[take(1)]!, top())
        break
      case 0x72: // LONG_BINPUT
        memo.set(view.getUint32(take(4), true), top())
        break
      case 0x94: // MEMOIZE
        memo.set(memo.size, top())
        break
      case 0x68: // BINGET
        recall(bytes[take(1)]!)
        break
      case 0x6a: // LONG_BINGET
        recall(view.getUint32(take(4), true))
        break
      case 0x51: {
        // BINPERSID
        const value = host.persistent(pop())
        if (value === undefined) throw malformed('its pickle refers to no storage of torch')
        stack.push(value)
        break
      }
      case 0x52: {
        // REDUCE
        const [callable, args] = popLast(2)
        if (!(callable instanceof PickleGlobal) || !Array.isArray(args)) throw malformed('its pickle calls no function')
        const value = host.call(callable.name, args)
        if (value === undefined) throw malformed(`${callable.name} has arguments that it does not take`)
        stack.push(value)
        break
      }
      case 0x62: // BUILD
        // Of an OrderedDict: attributes, such as the versions of modules. Nothing else here has any.
        pop()
        if (!(top() instanceof Map)) throw malformed('its pickle gives attributes to what has none')
        break
      default:
        throw malformed(`its pickle has the operation 0x${operation.toString(16)}, which torch.save does not write`)
    }
  }
  throw malformed(`its pickle has more than ${MOST_OPERATIONS} operations`)
}

/** A whole number of any length, lowest byte first, two's complement: as near as a float64 comes. */
function longOf(bytes: Uint8Array): number {
  if (bytes.byteLength === 0) return 0
  const digits = Buffer.from(bytes.toReversed()).toString('hex')
  return Number(BigInt.asIntN(8 * bytes.byteLength, BigInt(`0x${digits}`)))
}
