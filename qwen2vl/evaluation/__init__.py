"""Scoring of answers: items, metrics, intervals, the packaged exams, a runner, and reports as data, tables and a page.

Models are seen only through conversations (`runner.Answerer`), so an engine, a server or a scripted model can be scored. Exams
are read from their archives: nothing here draws.
"""
