import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ModuleName } from '../../../src/core/python/moduleName';
import { symbolAtCursor } from './cursor';

/** Code with a `|` at the cursor, and what stands there. */
type Row = readonly [code: string, meaning: string | undefined];

function table(name: string, rows: readonly Row[], module?: ModuleName): void {
  suite(name, () => {
    for (const [code, expected] of rows) {
      test(JSON.stringify(code), async () => {
        assert.equal(await symbolAtCursor(code, module), expected);
      });
    }
  });
}

table('imports', [
  ['import torch.nn as nn\nnn.Layer|Norm(3)', 'torch.nn.LayerNorm'],
  ['import torch.nn as nn\nnn.|LayerNorm(3)', 'torch.nn.LayerNorm'],
  ['import torch.nn as nn\nnn.LayerNorm|(3)', 'torch.nn.LayerNorm'],
  ['import torch\ntorch.nn.Lin|ear(3, 4)', 'torch.nn.Linear'],
  ['import torch.nn\ntorch.nn.Lin|ear(3, 4)', 'torch.nn.Linear'],
  ['from torch import nn, optim\noptim.Ada|mW(x)', 'torch.optim.AdamW'],
  ['from torch.nn import LayerNorm as LN\nL|N(3)', 'torch.nn.LayerNorm'],
  ['from torch.nn import LayerNorm as L|N', 'torch.nn.LayerNorm'],
  ['from torch.nn import Layer|Norm as LN', 'torch.nn.LayerNorm'],
  ['from torch.nn import (\n  Linear,\n  Layer|Norm,\n)', 'torch.nn.LayerNorm'],
  ['import torch.nn.functional as F\nF.soft|max(x)', 'torch.nn.functional.softmax'],
  ['from torch.nn import *\nLayer|Norm(3)', 'torch.nn.LayerNorm'],
  ['def f():\n  from torch.nn import GELU\n  return GE|LU()', 'torch.nn.GELU'],
  ['def f():\n  from torch.nn import GELU\nGE|LU()', undefined],
  ['try:\n  from torch.nn import GELU\nexcept ImportError:\n  GELU = None\nGE|LU()', 'torch.nn.GELU'],
  [
    'try:\n  from fast import LayerNorm\nexcept ImportError:\n  from torch.nn import LayerNorm\nLayer|Norm(3)',
    'torch.nn.LayerNorm',
  ],
  [
    'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from torch import nn\ndef f(x: "nn.X", y: nn.Lin|ear): pass',
    'torch.nn.Linear',
  ],
  ['if a:\n  import torch.nn as nn\nelse:\n  from torch import nn\nnn.Lin|ear', 'torch.nn.Linear'],
  ['from . import nn\nnn.Lin|ear', undefined],
  ['from .nn import Linear\nLin|ear', undefined],
  ['from .nn import Lin|ear', undefined],
  ['import numpy as np\nnp.Lin|ear', undefined],
  ['try:\n  from .fast import Linear\nexcept ImportError:\n  from torch.nn import Linear\nLin|ear', 'torch.nn.Linear'],
  [
    'from torch import nn\ntry:\n  from x import LN\nexcept ImportError:\n  LN = nn.LayerNorm\nL|N(3)',
    'torch.nn.LayerNorm',
  ],
  ['from torch . nn import \\\n  Lin|ear', 'torch.nn.Linear'],
  ['import torch\ndef f(x: torch.torch.Ten|sor): pass', 'torch.Tensor'],
  ['import torch.multiprocessing as mp\nmp.Proc|ess()', 'multiprocessing.Process'],
  ['try:\n  pass\nfinally:\n  from torch import nn\nnn = nn\nnn.Lin|ear', 'torch.nn.Linear'],
]);

table('names bound to something of a library', [
  ['from torch import nn\nnorm_layer = nn.LayerNorm\nnorm_|layer(3)', 'torch.nn.LayerNorm'],
  ['from torch import nn\ndef f(norm_layer=nn.LayerNorm):\n  return norm_|layer(3)', 'torch.nn.LayerNorm'],
  [
    'from torch import nn\nfrom functools import partial\nn = partial(nn.LayerNorm, eps=1e-6)\n|n(3)',
    'torch.nn.LayerNorm',
  ],
  [
    'from torch import nn\nfrom functools import partial\nn = partial(nn.LayerNorm, e|ps=1e-6)',
    'torch.nn.LayerNorm(eps=)',
  ],
  [
    'from torch import nn\nclass A(nn.Module):\n  def __init__(self):\n    self.norm = nn.LayerNorm(3)\n  def f(self, x):\n    return self.no|rm(x)',
    'an object of torch.nn.LayerNorm',
  ],
  ['from torch import nn\nclass A(nn.Module):\n  def f(self):\n    self.tr|ain()', 'torch.nn.Module.train'],
  [
    'from torch import nn\nclass B(nn.Module): pass\nclass A(B):\n  def f(self):\n    super().tr|ain()',
    'torch.nn.Module.train',
  ],
  ['from torch import nn\nclass A(nn.Module): pass\nA().ev|al()', 'torch.nn.Module.eval'],
  ['from torch import nn\nloss = nn.CrossEntropyLoss()\nlo|ss(x, y)', 'an object of torch.nn.CrossEntropyLoss'],
  ['from torch import nn\nx = nn.ReLU if a else nn.GELU\n|x()', undefined],
  ['from torch import nn\nx = nn.ReLU\nif a:\n  x = nn.GELU\n|x()', undefined],
  ['from torch import nn\nx = nn.ReLU\nx = nn.GELU\n|x()', 'torch.nn.GELU'],
  ['from torch import nn\na, b = nn.ReLU, nn.GELU\n|b()', 'torch.nn.GELU'],
  ['from torch import nn\na, *b = nn.ReLU, nn.GELU\n|a()', undefined],
  ['from torch import nn\nimport other\nx = nn.ReLU if a else other.ReLU\n|x()', undefined],
  ['from torch import nn\nx = nn.ReLU\nfor a in b:\n  |x()\n  x = nn.GELU', undefined],
  ['from torch import nn\nfor a in b:\n  x = nn.ReLU\n  |x()\n  x = nn.GELU', 'torch.nn.ReLU'],
  ['from torch import nn\nx = nn.ReLU\n[|x() for a in b]\nx = nn.GELU', 'torch.nn.ReLU'],
  ['from torch import nn\nx = nn.ReLU\nclass A:\n  y = |x()\nx = nn.GELU', 'torch.nn.ReLU'],
  ['from torch import nn\nx = nn.ReLU\ndef f():\n  |x()\nx = nn.GELU', 'torch.nn.GELU'],
  ['from torch import nn\nx = nn.ReLU\ndef f():\n  global x\n  x = nn.GELU\n|x()', undefined],
  ['from torch import nn\ndef f():\n  x = nn.ReLU\n  def g():\n    nonlocal x\n    x = 3\n  |x()', undefined],
  ['from torch import nn\nf(x := nn.ReLU)\n|x()', 'torch.nn.ReLU'],
  ['from torch import nn\nf(|x := nn.ReLU)', 'torch.nn.ReLU'],
  ['from torch import nn\n[x := nn.ReLU for a in b]\n|x()', 'torch.nn.ReLU'],
  ['import torch\ndef f(x: torch.Tensor):\n  shape = x.shape\n  sha|pe', undefined],
  [
    'from __future__ import annotations\nfrom torch import nn\nclass A(nn.Module):\n  def f(self, x: A):\n    x.tr|ain()',
    'torch.nn.Module.train',
  ],
]);

table('shadowing', [
  ['from torch import nn\ndef f(nn):\n  nn.Lin|ear', undefined],
  ['from torch import nn\nnn = 3\nnn.Lin|ear', undefined],
  ['from torch import nn\nfor nn in x:\n  nn.Lin|ear', undefined],
  ['from torch import nn\n[nn.Lin|ear for nn in x]', undefined],
  ['from torch import nn\nlambda nn: nn.Lin|ear', undefined],
  ['from torch import nn\ndel nn\nnn.Lin|ear', undefined],
  ['from torch import nn\nwith a as nn:\n  nn.Lin|ear', undefined],
  ['from torch import nn\ndef f():\n  nn.Lin|ear\n  nn = 3', undefined],
  ['from torch import nn\nclass A:\n  nn = 3\n  def f(self):\n    nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\ndef f():\n  global nn\n  nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\ndef f(x=nn.Lin|ear, nn=3): pass', 'torch.nn.Linear'],
  ['import torch\nif (torch := 3):\n  torch.nn.Lin|ear', undefined],
  ['from torch import nn\nclass nn:\n  pass\nnn.Lin|ear', undefined],
  ['from torch import nn\nall(nn.Lin|ear for nn in x)', undefined],
  ['from torch import nn\nall(x for nn in nn.Lin|ear)', 'torch.nn.Linear'],
  ['from torch import nn\nwith a as (nn, b):\n  nn.Lin|ear', undefined],
  ['from torch import nn\nwith a as (b, nn):\n  nn.Lin|ear', undefined],
  ['from torch import nn\nloss = nn.MSELoss()\nsum(lo|ss for loss in x)', undefined],
  ['from torch import nn\nloss = nn.MSELoss()\nfor lo|ss in x: pass', undefined],
]);

table('what the grammar does not know', [
  ['from torch import nn\nx = f(3) if a > 0. else nn.Ident|ity()', 'torch.nn.Identity'],
  ['from torch import nn\nx = 1.e-5 * nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\nlayers[0].conv1.x = nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\ndef f():\n  with a() as (b, c):\n    nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\nwith (a() as b, c() as d):\n  nn.Lin|ear', 'torch.nn.Linear'],
  ['from torch import nn\nmatch a:\n  case nn.Lin|ear():\n    pass', 'torch.nn.Linear'],
  ['from torch import nn\n\f\nnn.Lin|ear', 'torch.nn.Linear'],
]);

table(
  'the library itself',
  [
    ['from .module import Mod|ule', 'torch.nn.Module'],
    ['from .module import Module\nclass A(Mod|ule): pass', 'torch.nn.Module'],
    ['from .. import functional as F\nF.soft|max(x)', 'torch.nn.functional.softmax'],
    ['from torch.nn import init\nfrom . import mod|ule', undefined],
    ['from ... import nn\nnn.Lin|ear', 'torch.nn.Linear'],
    ['from .... import nn\nnn.Lin|ear', undefined],
    ['from ..utils.rnn import pad_seq|uence', 'torch.nn.utils.rnn.pad_sequence'],
    ['from .module import *\nMod|ule', 'torch.nn.Module'],
    ['class Lin|ear: pass', 'torch.nn.Linear'],
    ['class Linear: pass\nLin|ear(3, 4)', 'torch.nn.Linear'],
    ['class Other: pass\nOth|er()', 'own Other'],
    ['def f():\n  class Lin|ear: pass', 'own Linear'],
    ['class Linear:\n  def f(self) -> Lin|ear: pass', undefined],
    ['from __future__ import annotations\nclass Linear:\n  def f(self) -> Lin|ear: pass', 'torch.nn.Linear'],
    ['from __future__ import annotations\nclass Linear:\n  def f(self, x: list[Lin|ear]): pass', 'torch.nn.Linear'],
    ['from __future__ import annotations\nx: Lin|ear | None = None\nclass Linear: pass', 'torch.nn.Linear'],
  ],
  { name: 'torch.nn.modules.linear', isPackage: false },
);

table('a package of a library', [['from .module import Mod|ule', 'torch.nn.Module']], {
  name: 'torch.nn.modules',
  isPackage: true,
});

table('arguments', [
  ['from torch import nn\nnn.LayerNorm(3, e|ps=1e-6)', 'torch.nn.LayerNorm(eps=)'],
  ['from torch import nn\nnn.LayerNorm(3, eps=1e|-6)', 'torch.nn.LayerNorm(eps=)'],
  ['from torch import nn\nnn.LayerNorm(3, nonsen|se=1)', undefined],
  ['f(e|ps=1)', 'own eps'],
  ['from torch import nn\nnn.Linear(x := 3|)', 'torch.nn.Linear(in_features=)'],
  ['from torch import nn\nnn.Linear(x := 2, 3|)', 'torch.nn.Linear(out_features=)'],
  ['import torch\ntorch.arange(1|0)', 'torch.arange(end=)'],
  ['import torch\ntorch.arange(|1, 10)', 'torch.arange(start=)'],
  ['import torch\ntorch.arange(0, 1|0, 2)', 'torch.arange(end=)'],
  ['import torch\ntorch.arange(|1, *rest)', undefined],
  ['import torch\ntorch.randint(1|0, (3,))', 'torch.randint(high=)'],
  ['import torch\ntorch.randint(1|, 10, (3,))', 'torch.randint(low=)'],
  ['import torch\ntorch.sum(x, 1|)', 'torch.sum(dim=)'],
  ['import torch\ndef f(x: torch.Tensor):\n  x.view(1|, 2)', undefined],
  ['import torch\ndef f(x: torch.Tensor):\n  x.view(1|)', undefined],
  ['import torch\ndef f(x: torch.Tensor):\n  x.std(|1)', undefined],
  ['import torch\ndef f(x: torch.Tensor):\n  x.scatter(1, i, 1|.)', undefined],
  ['import torch\ndef f(x: torch.Tensor):\n  x.scatter(|1, i, 1.)', 'torch.Tensor.scatter(dim=)'],
  ['import torch\ndef f(x: torch.Tensor):\n  x.unsqueeze(|1)', 'torch.Tensor.unsqueeze(dim=)'],
  ['import torch\ntorch.Tensor.unsqueeze(x, |1)', undefined],
]);

table('never in text, never in what is not there', [
  ['from torch import nn\n# nn.Lin|ear', undefined],
  ['from torch import nn\n"nn.Lin|ear"', undefined],
  ['from torch import nn\nf"{nn.Lin|ear}"', undefined],
  ['from torch import nn\nnn.|', undefined],
  ['from torch import nn\nnn.Linear|', 'torch.nn.Linear'],
  ['|', undefined],
  ['Lin|ear', undefined],
  ['from torch import |', undefined],
]);

table('own names', [
  ['class Focal|Loss: pass', 'own FocalLoss'],
  ['def dice_loss(): pass\ndice_|loss()', 'own dice_loss'],
  ['def f(Focal|Loss): pass', undefined],
]);
