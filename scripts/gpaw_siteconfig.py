"""How GPAW is built: serial, with libxc, OpenBLAS and FFTW. Named by GPAW_CONFIG in scripts/install_gpaw.sh."""

mpi = False
compiler = "g++"
fftw = True
scalapack = False
libraries = ["xc", "openblas", "fftw3"]
