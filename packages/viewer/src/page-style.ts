/** The style sheet of the page: dark, as images are read; one column where it is narrow. */
export const PAGE_STYLE = `
:root{color-scheme:dark;--page:#101214;--panel:#181b1e;--ink:#e4e8eb;--muted:#9ca7b1;--line:#2d343a;--strong:#5a656f;--link:#7cc0ec;--warn:#f0c064;--warn-panel:#2a2417;--bad:#ff9a94;--bad-panel:#301d1e}
*{box-sizing:border-box}
[hidden]{display:none!important}
html{-webkit-text-size-adjust:100%}
body{margin:0;height:100vh;display:flex;flex-direction:column;background:var(--page);color:var(--ink);font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 18px;padding:10px 16px;border-bottom:1px solid var(--line)}
h1{margin:0;font-size:16px;font-weight:600;overflow-wrap:anywhere}
h2{margin:0 0 8px;font-size:14px;font-weight:600}
header .aside{margin-left:auto}
nav{display:flex;flex-wrap:wrap;gap:4px 14px}
a{color:var(--link);text-underline-offset:2px}
p{margin:0 0 8px}
.aside{margin:0;color:var(--muted);font-size:13px}
.notice{margin:10px 16px;padding:8px 12px;border-left:3px solid var(--warn);background:var(--warn-panel);overflow-wrap:anywhere}
.notice.bad{border-color:var(--bad);background:var(--bad-panel)}
main{flex:1;display:flex;flex-direction:column;min-height:0}
main>.aside{padding:16px}
.workspace{flex:1;display:grid;grid-template:minmax(0,1fr)/minmax(0,1fr) 300px;min-height:420px}
.run+.workspace{flex:none;height:88vh}
.workspace.cases{grid-template-columns:230px minmax(0,1fr) 300px}
.list{border-right:1px solid var(--line);display:flex;flex-direction:column;min-height:0}
.list label{padding:10px 12px;border-bottom:1px solid var(--line);color:var(--muted);font-size:13px}
.list input{display:block;width:100%;margin-top:4px}
.list ul{list-style:none;margin:0;padding:0;overflow-y:auto;flex:1}
.list li button{display:block;width:100%;padding:7px 12px;border:0;border-bottom:1px solid var(--line);border-radius:0;background:none;text-align:left;overflow-wrap:anywhere}
.list li button[aria-current=true]{background:var(--line)}
.list li small{display:block;color:var(--muted)}
.list li small.found{color:var(--warn)}
.stage{position:relative;background:#000;min-height:0;min-width:0}
.stage canvas{position:absolute;inset:0;width:100%;height:100%;outline:none;touch-action:none}
.stage canvas:focus-visible{outline:2px solid var(--link);outline-offset:-2px}
.stage .state{position:absolute;left:12px;right:12px;top:10px;margin:0;text-shadow:0 0 3px #000,0 0 3px #000;pointer-events:none;overflow-wrap:anywhere}
.stage .state.bad{color:var(--bad)}
.side{border-left:1px solid var(--line);background:var(--panel);padding:12px 14px;overflow-y:auto;min-width:0;min-height:0}
.side section+section{margin-top:16px;padding-top:14px;border-top:1px solid var(--line)}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 12px;margin:0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
button,input,select{font:inherit;color:inherit}
button{background:#23282c;border:1px solid var(--strong);border-radius:5px;padding:3px 10px;cursor:pointer}
button[aria-pressed=true]{background:var(--ink);color:var(--page);border-color:var(--ink)}
input[type=search]{background:var(--page);border:1px solid var(--strong);border-radius:5px;padding:4px 8px}
input[type=range]{width:100%;accent-color:var(--link);margin:4px 0 0}
button:focus-visible,a:focus-visible,input:focus-visible,summary:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.choices{display:flex;flex-wrap:wrap;gap:6px;margin:0 0 8px}
.choices button{overflow-wrap:anywhere;text-align:left}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:3px 6px 3px 0;text-align:right;font-weight:400;border-bottom:1px solid var(--line);vertical-align:baseline}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere}
td:last-child,th:last-child{padding-right:0}
thead th{color:var(--muted)}
tr[aria-current=true] th{font-weight:600;text-decoration:underline;text-underline-offset:3px}
.swatch{display:inline-block;width:10px;height:10px;margin-right:7px;border-radius:2px;vertical-align:0}
.legend{max-height:330px;overflow-y:auto}
kbd{display:inline-block;min-width:20px;padding:0 5px;border:1px solid var(--strong);border-radius:4px;font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-align:center}
.keys{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 12px;margin:8px 0 0}
.keys dd{margin:0}
summary{cursor:pointer;color:var(--link)}
.run{padding:14px 16px 20px;border-bottom:1px solid var(--line)}
.run .facts{grid-template-columns:none;display:flex;flex-wrap:wrap;gap:4px 26px;margin-bottom:12px}
.run .facts div{display:flex;gap:8px;min-width:0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:18px 34px}
.plots figure{margin:0;min-width:0}
.plots svg{display:block;width:100%;height:auto;overflow:visible}
.plots text{fill:var(--muted);font-size:12px}
.plots .grid{stroke:var(--line);stroke-width:1}
.plots path{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.plots .dot{stroke-width:7}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;margin:4px 0 0;padding:0;list-style:none;color:var(--muted);font-size:13px}
.key svg{display:inline-block;width:28px;height:10px;margin-right:6px;vertical-align:0}
@media (max-width:900px){body,.run+.workspace{height:auto}.workspace,.workspace.cases{display:block}.list,.side{border:0;border-top:1px solid var(--line)}.list ul{max-height:190px}.stage{height:72vh}header .aside{margin-left:0}}
@media (prefers-reduced-motion:no-preference){.stage .state{transition:opacity .15s}}
`.trim()
