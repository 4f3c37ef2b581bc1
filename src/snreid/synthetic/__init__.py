"""Images of people who do not exist: ``people`` renders clothed bodies, ``pedestrians`` draws simple ones in a few seconds."""
