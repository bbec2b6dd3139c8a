startTheme();
startBoard();
if (document.getElementById("battles")) startSamples();
