"""cinegate: real-time gating and tumour tracking for MR-linacs. Research software, not a medical device."""
