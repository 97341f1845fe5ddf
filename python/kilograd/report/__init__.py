"""Reports: numbers of a plan, memory map (SVG), report page (HTML), pictures for the terminal."""
