/** The `format` of every report.json. */
export const REPORT_FORMAT = 'meshfl-report/1'
