"""Workers on other machines: a Dask cluster, started by Slurm or found running."""
