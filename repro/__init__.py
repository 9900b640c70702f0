"""Fast R-CNN trained and tested again, end to end on PASCAL VOC, from the operators that the suite holds."""
