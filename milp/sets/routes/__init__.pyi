from .graph import read_graph as read_graph
