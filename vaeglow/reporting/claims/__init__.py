"""The claims ledger: of each claim of the paper what was measured, how surely, and a verdict by a stated rule.

`needs` says which files a kind of claim reads (pure), `evidence` reads and checks them, `features` and `statistics` do
the arithmetic, `quality` and `measures` hold one function a kind of claim, `verdict` the rule, `ledger` and `page`
the two files written. No torch.
"""
