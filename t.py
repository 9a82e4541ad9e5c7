import torch
x=torch.full((3,),-float('inf'),requires_grad=True); torch.logsumexp(x,0).backward(); print(torch.__version__, x.grad)
