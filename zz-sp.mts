import { parsePython } from './src/core/python/syntax/parse';
import { readFileSync } from 'node:fs';
for (const f of ['/tmp/evalsrc/timm/timm/models/efficientnet.py','/tmp/evalsrc/x_transformers/x_transformers/x_transformers.py','/tmp/pyenv/venv/lib/python3.11/site-packages/torch/nn/functional.py']) {
 const text=readFileSync(f,'utf8').split('\n').slice(0,2000).join('\n'); const ts:number[]=[]; const inc:number[]=[];
 for(let i=0;i<30;i++){ const t=text+' '.repeat(i); let s=performance.now(); const tr=await parsePython(t,undefined,()=>false); ts.push(performance.now()-s); const mid=Math.floor(t.length/2); s=performance.now(); await parsePython(t.slice(0,mid)+'x'+t.slice(mid),tr,()=>false); inc.push(performance.now()-s);}
 const med=(a:number[])=>a.sort((x,y)=>x-y)[Math.floor(a.length/2)]!.toFixed(1);
 console.log(f.slice(-30),text.length,'full',med(ts),'inc',med(inc));
}
