import { CLASS_COLOURS } from '../../slices/palette.js'

const inks = (scheme: 'light' | 'dark'): string =>
  CLASS_COLOURS.map((colour, i) => `--c${i + 1}:${colour[scheme]};--o${i + 1}:${colour.overlay}`).join(';')

/** The style sheet of report.html: light, dark, narrow and print. */
export const STYLE = `
:root{color-scheme:light;--page:#fff;--panel:#f6f7f8;--ink:#1d2329;--muted:#58636e;--line:#dde1e5;--strong:#b9c1c9;
--link:#0b5a8c;--good:#19694a;--bad:#a3242b;--warn:#7d5200;--warn-panel:#fdf6e7;--bad-panel:#fcefef;--dots:.62;${inks('light')}}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#15181b;--panel:#1d2125;--ink:#e4e8eb;
--muted:#9ca7b1;--line:#2d343a;--strong:#4b555e;--link:#7cc0ec;--good:#6fce9f;--bad:#ff9a94;--warn:#f0c064;
--warn-panel:#2a2417;--bad-panel:#301d1e;--dots:.8;${inks('dark')}}}
${CLASS_COLOURS.map((_, i) => `.k${i + 1}{--c:var(--c${i + 1});--o:var(--o${i + 1})}`).join('')}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main,footer{max-width:1180px;margin:0 auto;padding:0 28px}
header{padding:44px 0 20px;border-bottom:1px solid var(--line)}
h1{margin:2px 0 8px;font-size:30px;line-height:1.2;font-weight:600;letter-spacing:-.01em;overflow-wrap:anywhere}
h1 small{font-weight:400;font-size:inherit;color:var(--muted)}
h2{margin:0 0 4px;font-size:19px;font-weight:600;letter-spacing:-.005em}
h3{margin:0 0 8px;font-size:14px;font-weight:600}
.scroll+h3{margin-top:22px}
p{margin:0 0 10px}
a{color:var(--link);text-underline-offset:2px}
section{padding:34px 0 0;break-inside:auto}
.kicker{margin:0;color:var(--muted);font-size:13px}
.meta{display:flex;flex-wrap:wrap;gap:2px 20px;margin:0;color:var(--muted);font-size:14px}
.meta b{font-weight:500;color:var(--ink)}
.lead{max-width:76ch;color:var(--muted);font-size:14px}
.notice{margin:18px 0 0;padding:10px 14px;border-left:3px solid var(--warn);background:var(--warn-panel);font-size:14px;overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:minmax(215px,1.35fr) repeat(auto-fit,minmax(140px,1fr));gap:0;margin:26px 0 0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
.figure{padding:16px 20px 14px;border-left:1px solid var(--line);border-top:1px solid var(--line);margin:-1px 0 0 -1px;min-width:0}
.figure dt{display:flex;align-items:baseline;gap:7px;font-size:14px;color:var(--muted);overflow-wrap:anywhere}
.figure dd{margin:0}
.figure .value{font-size:34px;line-height:1.25;font-weight:600;letter-spacing:-.02em}
.figure:first-child .value{font-size:46px;line-height:1.12}
.figure .detail{font-size:13px;color:var(--muted)}
.figure:first-child dt{color:var(--ink);font-weight:600}
.swatch{flex:none;display:inline-block;width:10px;height:10px;border-radius:2px;background:var(--c);align-self:center;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.swatch.overlay{background:var(--o)}
.gates{list-style:none;margin:18px 0 0;padding:0;font-size:14px}
.gates li{display:flex;gap:10px;padding:7px 14px;border:1px solid var(--line);border-radius:6px;margin-top:6px;overflow-wrap:anywhere}
.gates li.failed{background:var(--bad-panel);border-color:var(--bad)}
.gates b{flex:none;font-weight:600}
.passed b{color:var(--good)}.failed b{color:var(--bad)}
.scroll{overflow-x:auto;margin:14px 0 0;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13px;line-height:1.35}
th,td{padding:7px 8px;text-align:right;white-space:nowrap;font-weight:400;border-top:1px solid var(--line)}
thead th{color:var(--muted);font-size:12px;vertical-align:bottom;border-top:0}
thead tr+tr th{padding-top:0}
thead th.group{color:var(--ink);font-weight:600;border-left:1px solid var(--line);text-align:left}
th.first,td.first{border-left:1px solid var(--line)}
th:first-child,td:first-child{padding-left:14px}th:last-child,td:last-child{padding-right:14px}
tbody th,th.name,td.name{text-align:left}
tbody th{position:sticky;left:0;background:var(--page);min-width:9.5em;max-width:300px;white-space:normal;overflow-wrap:break-word}
thead th.name{position:sticky;left:0;background:var(--page)}
tr.total th,tr.total td,td.best{font-weight:600}
tr.aside th,tr.aside td,td.quiet{color:var(--muted)}
td.bar{min-width:150px}
.track{display:inline-block;width:84px;height:6px;margin-right:10px;border-radius:3px;background:var(--line);vertical-align:1px;overflow:hidden;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.track i{display:block;height:100%;background:var(--muted);border-radius:3px}
.strip{display:grid;grid-template-columns:minmax(96px,max-content) 1fr;gap:0 16px;align-items:center;margin:16px 0 0}
.strip .label{display:flex;align-items:center;gap:8px;font-size:14px;max-width:220px;overflow-wrap:anywhere;line-height:1.25}
.strip .row{position:relative;height:48px;border-bottom:1px solid var(--line)}
.strip svg,.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible;display:block}
.strip .axis{position:relative;height:24px;font-size:12px;color:var(--muted)}
.axis span{position:absolute;transform:translateX(-50%);top:4px;white-space:nowrap}
svg path,svg line{vector-effect:non-scaling-stroke;fill:none}
.grid{stroke:var(--line);stroke-width:1}
.dot{stroke:var(--c,var(--muted));stroke-width:9;stroke-linecap:round;stroke-opacity:var(--dots)}
.median{stroke:var(--ink);stroke-width:2}
.versus{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:3 3}
.key{display:flex;flex-wrap:wrap;gap:4px 22px;margin:10px 0 0;padding:0;list-style:none;font-size:13px;color:var(--muted)}
.key li{display:flex;align-items:center;gap:7px}
.key svg{width:18px;height:14px;flex:none}
.key svg.wide{width:36px}
h3.apart{margin:26px 0 4px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:26px 44px;margin:16px 0 0}
.plots figure{margin:0;min-width:0}
.plot{position:relative;height:220px;margin:6px 0 26px 44px}
.plot .y{position:absolute;right:100%;margin-right:8px;transform:translateY(50%);font-size:12px;color:var(--muted)}
.plot .x{position:absolute;top:100%;margin-top:5px;transform:translateX(-50%);font-size:12px;color:var(--muted);white-space:nowrap}
.line{stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.train{--c:var(--muted);stroke-dasharray:5 4}
.line.valid{--c:var(--c1)}
.mark{stroke:var(--c1);stroke-width:9;stroke-linecap:round}
details.more{margin:12px 0 0;font-size:14px}
details.more summary{cursor:pointer;color:var(--link)}
details.case{margin:12px 0 0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
details.case>summary{display:flex;flex-wrap:wrap;gap:2px 22px;align-items:baseline;padding:11px 16px;cursor:pointer;list-style:none;background:var(--panel)}
details.case>summary::-webkit-details-marker{display:none}
details.case>summary::before{content:"";width:6px;height:6px;margin:0 -8px 0 2px;border:solid var(--muted);border-width:0 1.5px 1.5px 0;transform:translateY(-2px) rotate(-45deg)}
details.case[open]>summary::before{transform:translateY(-3px) rotate(45deg)}
details.case>summary b{font-weight:600;overflow-wrap:anywhere}
details.case>summary span{color:var(--muted);font-size:14px;display:inline-flex;gap:7px;align-items:baseline}
summary:focus-visible,a:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.planes{padding:4px 16px 16px;scroll-margin-top:56px}
.planes figure{margin:12px 0 0;break-inside:avoid}
.planes figcaption{font-size:13px;color:var(--muted);margin:0 0 5px}
.planes figcaption b{font-weight:600;color:var(--ink)}
.panels{display:grid;grid-template-columns:repeat(4,1fr);gap:6px}
.panel{position:relative;background:#000;border-radius:4px;overflow:hidden;color:#fff;font-size:12px;line-height:1;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.panel svg{display:block;width:100%;height:auto}
.panel span{position:absolute;text-shadow:0 0 3px #000,0 0 2px #000}
.panel .cap{left:8px;top:8px;font-weight:600}
.panel .e{color:#c3cad1;font-size:11px}
.panel .el{left:6px;top:50%;transform:translateY(-50%)}.panel .er{right:6px;top:50%;transform:translateY(-50%)}
.panel .et{top:7px;left:50%;transform:translateX(-50%)}.panel .eb{bottom:6px;left:50%;transform:translateX(-50%)}
.crisp{image-rendering:pixelated}
.dim{opacity:.42}
.store{position:absolute;width:0;height:0;overflow:hidden}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 22px;margin:12px 0 0;font-size:14px}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{margin-top:44px;padding-top:16px;padding-bottom:44px;color:var(--muted);font-size:13px}
footer p{border-top:1px solid var(--line);padding-top:14px}
@media (max-width:640px){main,footer{padding:0 16px}header{padding-top:26px}h1{font-size:24px}
.figures{grid-template-columns:1fr 1fr}.figure:first-child{grid-column:1/-1}.figure:last-child:nth-child(even){grid-column:1/-1}.figure{padding:12px 14px}.figure .value{font-size:27px}
.panels{grid-template-columns:1fr 1fr}.planes{padding:2px 8px 8px}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:8px}
.strip{grid-template-columns:1fr}.strip .label{max-width:none;padding-top:8px}.strip .row{height:40px}tbody th{max-width:150px}
.panel .cap{left:5px;top:6px;font-size:11px}}
@media print{body{font-size:11pt}main,footer{max-width:none;padding:0}header{padding-top:0}section{padding-top:22px}
.scroll{overflow:visible;border:0}table{font-size:7.5pt}th,td{padding:3px 4px}thead th{font-size:7pt;white-space:normal}tbody th,thead th.name{position:static;min-width:7em}.track{display:none}td.bar{min-width:0}
thead{display:table-header-group}tr,.figure,.strip,.plots figure{break-inside:avoid}h2,h3,details.case>summary{break-after:avoid}
details.case::details-content{content-visibility:visible;height:auto}details.more{display:none}a{color:inherit;text-decoration:none}@page{margin:16mm 14mm}}
`.trim()
