"""Studies: grids of runs, their results, tables, and claims with intervals."""
