"""Reading, drawing and cropping the people a study is made on."""
