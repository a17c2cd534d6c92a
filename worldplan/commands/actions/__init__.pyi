from .declarations import DeclarationFile as DeclarationFile
from .declarations import read_declarations as read_declarations
from .evaluation import cross_validate as cross_validate
from .evaluation import summarise as summarise
from .jobs import CrossValidation as CrossValidation
