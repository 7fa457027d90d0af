-- The price book; one row a list price. `book_prices` is made when it is read.
create view prices as select * from book_prices;
