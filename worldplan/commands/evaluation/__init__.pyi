from .bandits import evaluate_bandits as evaluate_bandits
from .command import main as main
from .modem import evaluate_modem as evaluate_modem
from .policies import evaluate_policies as evaluate_policies
