from .files import load_hdf5 as load_hdf5
from .files import save_hdf5 as save_hdf5
