"""AlpacaEval 2 (arXiv 2404.04475): 805 instructions, each model's answer against gpt4_1106_preview's.

prompt -> verdict -> annotate: what a judge is asked, what it answered, the scores
leaderboard -> win_rates: alpaca_eval's own files in and out, and the numbers of what was already judged
calibration, official: its length control's frozen figures, and its own code called without its side effects
"""
