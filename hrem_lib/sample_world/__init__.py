"""The sample world: everyday scenes that are drawn and described, with their truth kept.

`catalog` (what there is) · `scenes` (sampled) · `captions` (described) · `canvas`, `figures`, `things`, `places`,
`actions` (drawn) · `detector` (its regions and features).
"""
