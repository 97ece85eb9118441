"""Scoring of answers: metrics, intervals, a runner over stored items, reports as data, tables and a page.

It sees only what answers conversations (`runner.Answers`), so an engine, a server or a scripted stand-in can be scored.
"""
