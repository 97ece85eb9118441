"""Scoring of answers: metrics, a runner over stored items, reports with intervals.

It sees only what answers conversations (`runner.Answers`), so an engine, a server or a scripted stand-in can be scored.
"""
