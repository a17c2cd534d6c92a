from .learner import OnlineLearner as OnlineLearner
from .play import play_online as play_online
from .play import regret as regret
from .thompson import ThompsonSampling as ThompsonSampling
from .ucwhittle import UCWhittle as UCWhittle
