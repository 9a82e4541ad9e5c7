import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parsePython } from './src/core/python/syntax/parse';
import { MeaningFinder } from './src/core/python/meaning';
import { table } from './test/unit/python/cursor';
import { seededRandom } from './test/eval/seededRandom';
const sources=readdirSync('resources/notes',{recursive:true,encoding:'utf8'}).filter(f=>f.endsWith('checks.py')).sort().map(f=>readFileSync(join('resources/notes',f),'utf8'));
const random=seededRandom(Number(process.argv[2]??1)); const below=(n:number)=>Math.floor(random()*n);
const p=(t:string,prev?:any)=>parsePython(t,prev,()=>false) as any;
const key=(t:any)=>new Map([...new MeaningFinder(t,table).all()].map((m:any)=>[`${m.from}`,`${m.kind} ${m.symbol??m.name} ${m.parameter??''} ${m.holds??''}`]));
const errs=(t:any)=>{let n=0;t.iterate({enter(x:any){if(x.type.isError)n++}});return n};
let total=0,names=0,diff=0,files=0, repaired=0, repairedBad=0;const ex:string[]=[];
for(let r=0;r<600;r++){
  const src=sources[below(sources.length)]!; const a=await p(src); 
  const at=below(src.length); const ins=['"',"'",'"""','(',')','[',']','\n',':','\\','    ','x','.',' import ',' def ','0.'][below(16)]!;
  const cut=below(3)===0?below(40):0;
  const next=src.slice(0,at)+ins+src.slice(at+cut);
  const inc=await p(next,a), full=await p(next); total++;
  const ki=key(inc),kf=key(full); let d=0; for(const k of new Set([...ki.keys(),...kf.keys()])) { names++; if(ki.get(k)!==kf.get(k)) {d++; if(ex.length<12) ex.push(`${JSON.stringify(next.slice(at-30,at+30))} at ${at}: offset ${k} ${JSON.stringify(next.slice(+k-20,+k+20))} inc ${ki.get(k)} full ${kf.get(k)}`);} }
  diff+=d; if(d) files++;
  const back=await p(src,inc); repaired++; if(back.tree.toString()!==a.tree.toString()) { repairedBad++; const x=back.tree.toString(), y=a.tree.toString(); let i=0; while(x[i]===y[i])i++; const ka=key(a),kb=key(back); let dd=0; for(const k of ka.keys()) if(ka.get(k)!==kb.get(k)) dd++; console.log('clean errs',errs(a.tree),'back errs',errs(back.tree),'names differ',dd, JSON.stringify(ins),cut,JSON.stringify(src.slice(at-40,at+40)),'\n  back',x.slice(i-60,i+100),'\n  full',y.slice(i-60,i+100)); }
}
console.log({total,files,names,diff,repaired,repairedBad}); console.log(ex.join('\n'));
