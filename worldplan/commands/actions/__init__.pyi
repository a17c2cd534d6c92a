from .evaluation import cross_validate as cross_validate
from .evaluation import summarise as summarise
from .jobs import CrossValidation as CrossValidation
from .learn import read_declarations as read_declarations
from .learn import read_precision as read_precision
