"""The synthetic signer: a drawn person whose hands, face and mouth follow a Motion."""
