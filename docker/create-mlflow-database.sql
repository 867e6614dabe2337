-- Run once, when the data base of the compose file is first made: the tracker keeps its tables apart from the index.
CREATE DATABASE mlflow OWNER osler;
