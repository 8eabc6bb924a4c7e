/** Text as a cell of a CSV file (RFC 4180). A spreadsheet takes what begins like a formula for one: an apostrophe keeps it text. */
export function csvCell(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
