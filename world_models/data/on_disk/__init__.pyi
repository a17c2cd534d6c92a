from .arrays import hdf5_array as hdf5_array
from .arrays import npz_arrays as npz_arrays
from .rows import is_on_disk as is_on_disk
