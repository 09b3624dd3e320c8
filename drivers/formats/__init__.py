"""What vendors' files and messages hold, turned into frames; one format a file, no devices and no folders."""
