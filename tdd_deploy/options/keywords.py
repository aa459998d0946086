"""made"""
