"""The RFCs of mail authentication as functions over the ports."""
