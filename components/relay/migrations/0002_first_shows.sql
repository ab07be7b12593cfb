INSERT INTO tv_show (id, name, score, year) VALUES
    (1, 'The Wire', 9.3, 2002),
    (2, 'Chernobyl', 9.3, 2019),
    (3, 'Fleabag', 8.7, 2016),
    (4, 'Dark', 8.7, 2017),
    (5, 'Severance', 8.6, 2022),
    (6, 'Borgen', 8.5, 2010),
    (7, 'The Expanse', 8.5, 2015),
    (8, 'Babylon Berlin', 8.4, 2017),
    (9, '3%', 7.3, 2016),
    (10, 'Cidade Invisível', 7.2, 2021)
