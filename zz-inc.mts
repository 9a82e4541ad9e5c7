import { parser } from '@lezer/python';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parsePython } from './src/core/python/syntax/parse';
import { seededRandom } from './test/eval/seededRandom';
const sources=readdirSync('resources/notes',{recursive:true,encoding:'utf8'}).filter(f=>f.endsWith('checks.py')).sort().map(f=>readFileSync(join('resources/notes',f),'utf8'));
const random=seededRandom(Number(process.argv[2]??1)); const below=(n:number)=>Math.floor(random()*n);
const kind=process.argv[3];
let bad=0,total=0,badClean=0; const shown:string[]=[];
const errs=(t:any)=>{let n=0;t.iterate({enter(x:any){if(x.type.isError)n++}});return n};
const p=(t:string,prev?:any)=>parsePython(t,prev,()=>false) as any;
for(let r=0;r<60;r++){
  let tree=await p(sources[below(sources.length)]!);
  for(let e=0;e<10;e++){
    const t=tree.text; const at=below(t.length);
    let next:string;
    if(kind==='word'){ next=t.slice(0,at)+'x'+t.slice(at);} 
    else if(kind==='line'){ const ls=t.split('\n'); const i=below(ls.length); const ind=/^ */.exec(ls[i]!)![0]; ls.splice(i,0,ind+'y = torch.nn.ReLU()'); next=ls.join('\n'); }
    else next=t.slice(0,at)+['"',"'",'"""','(',')','[','\n',':','\\','    '][below(10)]+t.slice(at);
    const before=tree;
    const inc=await p(next,tree); const full=await p(next);
    total++;
    if(inc.tree.toString()!==full.tree.toString()){ bad++; const ne=errs(full.tree); if(!ne){badClean++; } if(shown.length<3){ const a=inc.tree.toString(),b=full.tree.toString(); let i=0; while(a[i]===b[i])i++; shown.push(`errors full ${ne} inc ${errs(inc.tree)} edit at ${at} of ${t.length}: ${JSON.stringify(next.slice(Math.max(0,at-60),at+60))}\n inc  ${a.slice(i-80,i+150)}\n full ${b.slice(i-80,i+150)}`);} }
    tree=full;
  }
}
console.log(kind,total,'bad',bad,'bad without errors',badClean); console.log(shown.join('\n\n'));
