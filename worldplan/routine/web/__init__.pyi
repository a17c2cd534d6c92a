from .app import create_app as create_app
from .security import Access as Access
from .security import access_for as access_for
