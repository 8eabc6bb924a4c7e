const LONGEST = 80

/** A name of a hostile file, which may be as long as the file. */
export const shortened = (name: string): string => (name.length > LONGEST ? `${name.slice(0, LONGEST)}...` : name)

/** A name of a hostile file, fit to be shown, in quotes. */
export const printable = (name: string): string => JSON.stringify(shortened(name))
