"""What is learnt: the losses of joint, DSAH and BCDH on one batch."""
