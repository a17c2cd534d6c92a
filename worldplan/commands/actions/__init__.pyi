from .declarations import read_declarations as read_declarations
from .declarations import read_noise as read_noise
from .declarations import read_precision as read_precision
from .evaluation import cross_validate as cross_validate
from .evaluation import summarise as summarise
from .jobs import CrossValidation as CrossValidation
